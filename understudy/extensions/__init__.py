"""Everything that a chat can do without: a folder for each, with a class of `understudy.extension`. No other folder
imports from here, and an extension imports from another only what that offers by name."""
