"""The provider's daemon: it makes, watches and removes machines as its platform's signed word says."""
