"""The stages that commands of several stages share: `nastool quickstart` and `nastool shrink`."""
