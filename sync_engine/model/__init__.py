"""The nouns: what flows between the stages, as frozen values. Imports nothing of ours; knows no broker and no clock."""
