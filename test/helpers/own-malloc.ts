/** A test process has malloc settings of its own (ava.config.js): the commands that it starts have a user's. */
delete process.env.GLIBC_TUNABLES;
