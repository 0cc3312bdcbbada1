/* The program's commands, each with options of its own: "belfry NAME --option VALUE". */
#ifndef BELFRY_TOOLS_COMMAND_H
#define BELFRY_TOOLS_COMMAND_H

#include <stdbool.h>
#include <stddef.h>

struct command {
    const char *name;
    const char *summary; /* a few words for the list of all */
    /* argv[0] is the name. Returns the exit code: 0, 1 for what went wrong, 2 for misuse. */
    int (*run)(int argc, char **argv);
};

struct command_option {
    const char *name;  /* "config": --config; NULL: a word that stands alone, called value */
    char letter;       /* 'c': -c; 0: none */
    const char *value; /* "FILE": what follows it; NULL: it is a switch */
    const char *doc;   /* a few words */
    bool is_required;
    const char **text; /* gets the value; is left alone where the option is not given */
    bool *flag;        /* of a switch: becomes true */
};

/* For run(). False: *ret_code is the exit code, and all has been said, which may be --help. A value
 * that is empty is refused, and so is what is no option. */
bool command_read(const struct command_option *options, size_t n_options, int argc, char **argv,
                  int *ret_code);
/* Complains about the use of a command, and returns its exit code. */
int command_misused(const char *command, const char *what);

#endif
