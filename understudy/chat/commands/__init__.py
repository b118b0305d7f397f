"""The commands of users: a module for each noun, whose functions take a request and the services of the chat, and the
dispatcher, which finds the function of a command. What a conversation does for them stands in `chat/conversation`."""
