// The browser of a test: goes where it is sent, and to wherever that leads.
await fetch(process.argv[2]);
