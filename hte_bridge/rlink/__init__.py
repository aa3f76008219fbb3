"""R in a process of its own: started at first use, kept warm, ended with its parent."""
