"""The same views, cut on the device that encodes them."""
