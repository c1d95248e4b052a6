"""Who may talk to the controller: sockets, sessions of clients, validation of requests."""
