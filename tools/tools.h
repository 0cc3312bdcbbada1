/* The commands beside "serve", for operators. Each is the run() of a struct command: prints what it
 * did or found, and returns the program's exit code. */
#ifndef BELFRY_TOOLS_TOOLS_H
#define BELFRY_TOOLS_TOOLS_H

/* configuration.c */
int tools_checkconfig(int argc, char **argv);
int tools_configschema(int argc, char **argv);
int tools_defaultconfig(int argc, char **argv);
/* genconfig.c */
int tools_genconfig(int argc, char **argv);
/* gentoken.c */
int tools_gentoken(int argc, char **argv);
int tools_gensubtoken(int argc, char **argv);
/* checktoken.c */
int tools_checktoken(int argc, char **argv);
int tools_checksubtoken(int argc, char **argv);
/* database.c. A hub may be running on the file. */
int tools_checkdb(int argc, char **argv);
int tools_backup(int argc, char **argv);
/* top.c */
int tools_top(int argc, char **argv);

#endif
