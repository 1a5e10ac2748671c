"""Why the table says what it says: experiments on the same features, straight through the strategies."""
