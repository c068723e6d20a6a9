"""The pipeline of protector as a tree of supervised actors.

Who may import whom (import-linter holds it):
  runtime, evidence                   nothing of ours
  messages                            evidence
  parser, store, cluster              runtime, evidence, messages
  grants                              cluster.records
  attribution, engine                 runtime, evidence, messages, cluster.records, grants
  tree, config                        all of the above
  testing                             all of the above; web only lazily
"""
