"""The official a2a-sdk behind our own seams: its protobuf types do not leave this package."""
