/* SPDX-License-Identifier: MIT */
/* Reading the options of a command. No state but getopt's. */
#include "tools/command.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

#define MAX_OPTIONS 24

/* --- words --- */

static int print_option(FILE *to, const struct command_option *o)
{
    if (!o->name) {
        return fprintf(to, "%s", o->value);
    }
    return fprintf(to, "--%s%s%s", o->name, o->value ? " " : "", o->value ? o->value : "");
}

static void print_help(const struct command_option *options, size_t n_options, const char *command)
{
    printf("usage: belfry %s", command);
    for (size_t i = 0; i < n_options; i++) {
        fputs(options[i].is_required ? " " : " [", stdout);
        (void)print_option(stdout, &options[i]);
        fputs(options[i].is_required ? "" : "]", stdout);
    }
    fputs("\n\n", stdout);
    for (size_t i = 0; i < n_options; i++) {
        fputs("  ", stdout);
        int n = print_option(stdout, &options[i]);
        printf("%*s%s\n", n < 22 ? 24 - n : 2, "", options[i].doc);
    }
}

int command_misused(const char *command, const char *what)
{
    fprintf(stderr, "belfry %s: %s\n\"belfry %s --help\" says more.\n", command, what, command);
    return 2;
}

/* --- reading --- */

static int misused_option(const struct command_option *o, const char *command, const char *what)
{
    char text[160];
    (void)snprintf(text, sizeof(text), "%s%s%s%s %s", o->name ? "--" : "", o->name ? o->name : "",
                   o->name && o->value ? " " : "", o->value ? o->value : "", what);
    return command_misused(command, text);
}

static int bad_argument(const char *command, const char *argument, const char *why)
{
    char text[160];
    (void)snprintf(text, sizeof(text), "\"%.60s\" %s", argument, why);
    return command_misused(command, text);
}

/* How getopt_long() wants them: returned is the place in the list, behind all letters. */
static void make_tables(const struct command_option *options, size_t n_options,
                        struct option *longs, char *shorts)
{
    size_t n = 0;
    size_t n_longs = 0;
    shorts[n++] = ':';
    for (size_t i = 0; i < n_options; i++) {
        if (!options[i].name) {
            continue;
        }
        longs[n_longs++] =
            (struct option){options[i].name, options[i].value ? required_argument : no_argument,
                            NULL, 256 + (int)i};
        if (options[i].letter) {
            shorts[n++] = options[i].letter;
            shorts[n++] = options[i].value ? ':' : '\0';
            n -= !options[i].value;
        }
    }
    longs[n_longs] = (struct option){"help", no_argument, NULL, 'h'};
    shorts[n++] = 'h';
    shorts[n] = '\0';
}

static const struct command_option *option_of(const struct command_option *options,
                                              size_t n_options, int found)
{
    for (size_t i = 0; i < n_options; i++) {
        if (found == 256 + (int)i || found == options[i].letter) {
            return &options[i];
        }
    }
    return NULL;
}

static bool take(const struct command_option *o, const char *value)
{
    if (!o->value) {
        *o->flag = true;
        return true;
    }
    *o->text = value;
    return *value != '\0';
}

/* The words behind the options, for who takes them. Returns how many nobody takes. */
static int take_arguments(const struct command_option *options, size_t n_options, int n_words,
                          char **words)
{
    int n_taken = 0;
    for (size_t i = 0; i < n_options && n_taken < n_words; i++) {
        if (!options[i].name) {
            *options[i].text = words[n_taken++];
        }
    }
    return n_words - n_taken;
}

static bool has_all(const struct command_option *options, size_t n_options, const char *command,
                    int *ret_code)
{
    for (size_t i = 0; i < n_options; i++) {
        if (options[i].is_required && (!*options[i].text || !**options[i].text)) {
            *ret_code = misused_option(&options[i], command, "is missing");
            return false;
        }
    }
    return true;
}

bool command_read(const struct command_option *options, size_t n_options, int argc, char **argv,
                  int *ret_code)
{
    struct option longs[MAX_OPTIONS + 2] = {{NULL, 0, NULL, 0}};
    char shorts[2 * MAX_OPTIONS + 3];
    int found;
    make_tables(options, n_options, longs, shorts);
    optind = 0; /* glibc begins anew */
    opterr = 0;
    while ((found = getopt_long(argc, argv, shorts, longs, NULL)) != -1) {
        const struct command_option *o = option_of(options, n_options, found);
        if (found == 'h') {
            print_help(options, n_options, argv[0]);
            *ret_code = 0;
            return false;
        }
        if (!o) {
            *ret_code =
                bad_argument(argv[0], argv[optind - 1],
                             found == ':' ? "lacks its value" : "is not one of its options");
            return false;
        }
        if (!take(o, optarg)) {
            *ret_code = misused_option(o, argv[0], "is empty");
            return false;
        }
    }
    int n_left = take_arguments(options, n_options, argc - optind, argv + optind);
    if (n_left > 0) {
        *ret_code = bad_argument(argv[0], argv[argc - n_left], "is one argument too many");
        return false;
    }
    return has_all(options, n_options, argv[0], ret_code);
}
