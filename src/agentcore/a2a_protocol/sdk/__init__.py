"""The wire of both protocol versions, by the official a2a-sdk: its types do not leave here."""
