"""Training of networks: settings here, what is trained in the plugins."""
