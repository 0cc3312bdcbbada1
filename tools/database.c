/* SPDX-License-Identifier: MIT */
/* The commands around the database file: what the storage's tools say, in words and exit codes. No
 * state. */

#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>

#include "settings.h"
#include "storage/storage.h"
#include "tools/command.h"
#include "tools/tools.h"

static bool has_file(const struct storage_settings *settings)
{
    if (settings->durability != STORAGE_MEMORY) {
        return true;
    }
    fputs("there is no database file: storage.durability is \"memory\"\n", stderr);
    return false;
}

/* What the status alone says; the rest is in the log's lines above. */
static const char *reason_of(enum status status)
{
    switch (status) {
    case STATUS_NOT_FOUND: return "there is no such file (storage.path)";
    case STATUS_CORRUPT: return "this is no database of Belfry's, or it is damaged";
    case STATUS_VERSION: return "it was made by a newer Belfry; use that one's commands";
    case STATUS_CANCELLED: return "a hub has opened it meanwhile; run this again";
    case STATUS_NO_MEMORY: return "not enough memory";
    default: return "it could not be read or written, see above";
    }
}

static int fail(const char *path, const char *what, enum status status)
{
    fprintf(stderr, "%s: not %s: %s\n", path, what, reason_of(status));
    return 1;
}

static void print_finding(void *arg, const char *text)
{
    (void)arg;
    puts(text);
}

static const char *plural(uint64_t n)
{
    return n == 1 ? "" : "s";
}

static int check(const struct storage_settings *settings, const char *unused)
{
    struct storage_check_counts counts;
    (void)unused;
    if (!has_file(settings)) {
        return 1;
    }
    enum status status = storage_check(settings->path, print_finding, NULL, &counts);
    if (status != STATUS_OK) {
        return fail(settings->path, "checked", status);
    }
    if (counts.n_findings > 0) {
        printf("%s: %" PRIu64 " problem%s\n", settings->path, counts.n_findings,
               plural(counts.n_findings));
        return 1;
    }
    printf("%s: ok, %" PRIu64 " stream%s, %" PRIu64 " publication%s, %" PRIu64 " feed%s",
           settings->path, counts.n_streams, plural(counts.n_streams), counts.n_publications,
           plural(counts.n_publications), counts.n_feeds, plural(counts.n_feeds));
    if (counts.n_events > 0) {
        printf(", %" PRIu64 " waiting event%s", counts.n_events, plural(counts.n_events));
    }
    if (counts.n_runs > 0) {
        printf(", %" PRIu64 " run%s", counts.n_runs, plural(counts.n_runs));
    }
    putchar('\n');
    return 0;
}

static int copy(const struct storage_settings *settings, const char *to)
{
    struct stat about;
    if (!has_file(settings)) {
        return 1;
    }
    umask(027); /* what clients were sent is not for everybody on the machine */
    enum status status = storage_backup(settings->path, to);
    if (status == STATUS_ALREADY) {
        fprintf(stderr, "%s: there is a file already; it is left as it is\n", to);
        return 1;
    }
    if (status != STATUS_OK) {
        return fail(settings->path, "copied", status);
    }
    int64_t size = stat(to, &about) == 0 ? (int64_t)about.st_size : 0;
    printf("%s: copied to %s, %" PRId64 " bytes\n", settings->path, to, size);
    return 0;
}

static int with_storage(const char *config, const char *to,
                        int (*run)(const struct storage_settings *settings, const char *to))
{
    struct settings settings;
    int code = settings_load(config, &settings) ? run(&settings.storage, to) : 1;
    settings_release(&settings);
    return code;
}

int tools_checkdb(int argc, char **argv)
{
    const char *config = NULL;
    const struct command_option options[] = {
        {"config", 'c', "FILE", "the configuration, which names the database", true, &config, NULL},
    };
    int code;
    return command_read(options, 1, argc, argv, &code) ? with_storage(config, NULL, check) : code;
}

int tools_backup(int argc, char **argv)
{
    const char *config = NULL;
    const char *to = NULL;
    const struct command_option options[] = {
        {"config", 'c', "FILE", "the configuration, which names the database", true, &config, NULL},
        {"to", 't', "FILE", "the copy; there must be none", true, &to, NULL},
    };
    int code;
    return command_read(options, 2, argc, argv, &code) ? with_storage(config, to, copy) : code;
}
