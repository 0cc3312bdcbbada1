/* Certificates for the tests of TLS, made by the openssl program in a folder of their own. */
#ifndef BELFRY_TESTS_CERTIFICATES_H
#define BELFRY_TESTS_CERTIFICATES_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* NAME.pem and NAME.key: signed by themselves, so that the file is also that of their authority. */
static inline bool certificate_make(const char *folder, const char *name, const char *subject)
{
    char command[600];
    (void)snprintf(command, sizeof(command),
                   "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 "
                   "-subj /CN=%s -addext subjectAltName=%s -keyout %s/%s.key -out %s/%s.pem "
                   "2>/dev/null",
                   name, subject, folder, name, folder, name);
    return system(command) == 0;
}

/* A path in it, until the next call but fifteen. */
static inline const char *path_in(const char *folder, const char *name)
{
    static char paths[16][300];
    static unsigned turn;
    char *path = paths[turn++ % 16];
    (void)snprintf(path, sizeof(paths[0]), "%s/%s", folder, name);
    return path;
}

static inline bool folder_write(const char *folder, const char *name, const char *text)
{
    FILE *file = fopen(path_in(folder, name), "w");
    bool is_good = file && fputs(text, file) >= 0;
    return file && fclose(file) == 0 && is_good;
}

static inline bool folder_make(char *folder)
{
    return mkdtemp(folder) != NULL;
}

static inline void folder_remove(const char *folder)
{
    char command[300];
    (void)snprintf(command, sizeof(command), "rm -r %s", folder);
    (void)!system(command);
}

#endif
