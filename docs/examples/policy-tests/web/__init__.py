"""The team's own application. Its folder has the name of one of kube-protector's packages, as such folders do."""

SECRETS = ("db-creds",)
