/* What the files of a client's TLS settings hold, read and checked once, at the start: what was
 * checked is what connections use, and no file is read while the loop runs. */
#ifndef BELFRY_UPSTREAMS_TLS_FILES_H
#define BELFRY_UPSTREAMS_TLS_FILES_H

#include "base/status.h"

struct transport_tls_options;

/* PEM; NULL where the option is "". */
struct tls_files {
    char *authorities;
    char *certificates; /* the client's, and those that lead to its authority */
    char *key;
};

struct tls_files_problem {
    const char *key; /* the option that is at fault */
    char expected[300];
};

/* NULL in *ret_files: none are named. STATUS_INVALID: the problem says why. Ends the program when
 * memory is short. */
enum status tls_files_read(const struct transport_tls_options *options,
                           struct tls_files **ret_files,
                           struct tls_files_problem *ret_problem) MUST_CHECK;
/* Accepts NULL. */
void tls_files_free(struct tls_files *files);

#endif
