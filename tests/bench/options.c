/* SPDX-License-Identifier: MIT */
/* Set once, read by all of the program. */
#include "tests/bench/options.h"

#include <getopt.h>
#include <stdio.h>

#include "tests/bench/cli.h"

static const char usage[] =
    "bench-load --protocol belfry|websocket|socketio|nats|redis --port N [--tls] [--path P]\n"
    "    [--channel NAME] [--own-channels] [--publish-path P] [--key K] [--pids 12,34]\n"
    "    [--window 256] [--sockbuf BYTES] [--tokens FILE]";

#define TOKENS_MAX_BYTES ((size_t)64 << 20)

static struct options known;

/* The lines of a file. */
static struct str tokens[OPTIONS_CLIENTS_MAX];
static size_t n_tokens;

const struct options *options(void)
{
    return &known;
}

void options_channel(struct buf *out, size_t index)
{
    buf_clear(out);
    buf_append(out, str_of(known.channel));
    if (index == OPTIONS_PROBER) {
        buf_literal(out, "probe");
    } else if (known.own_channels) {
        buf_append_u64(out, index);
    }
}

struct str options_token(size_t index)
{
    if (n_tokens == 0) {
        return STR_EMPTY;
    }
    if (index >= n_tokens) {
        fail("there are only %zu tokens", n_tokens);
    }
    return tokens[index];
}

static void read_tokens(const char *path)
{
    static char bytes[TOKENS_MAX_BYTES]; /* they are pointed into until the end */
    FILE *file = fopen(path, "re");
    size_t len = file ? fread(bytes, 1, sizeof(bytes), file) : 0;
    if (!file || len == 0 || len == sizeof(bytes)) {
        fail("%s: expected lines with a token each", path);
    }
    (void)fclose(file);
    struct str rest = {bytes, len};
    while (rest.len > 0 && n_tokens < OPTIONS_CLIENTS_MAX) {
        ptrdiff_t end = str_find(rest, '\n');
        tokens[n_tokens++] = end < 0 ? rest : str_head(rest, (size_t)end);
        rest = end < 0 ? STR_EMPTY : str_tail(rest, (size_t)end + 1);
    }
}

static void take(int option, const char *value)
{
    switch (option) {
    case 'r': known.protocol = protocol_named(value); break;
    case 'p': known.link.port = (uint16_t)cli_number(value, UINT16_MAX); break;
    case 't': known.link.tls = true; break;
    case 'a': known.path = value; break;
    case 'c': known.channel = value; break;
    case 'o': known.own_channels = true; break;
    case 'u': known.publish_path = value; break;
    case 'k': known.key = value; break;
    case 'i': known.pids = value; break;
    case 'f': read_tokens(value); break;
    case 'w': known.window = cli_number(value, OPTIONS_CLIENTS_MAX); break;
    case 's': known.link.receive_buffer_bytes = (int)cli_number(value, 1u << 30); break;
    default: fail("%s", usage);
    }
}

void options_read(int argc, char **argv)
{
    static const struct option names[] = {{"protocol", required_argument, NULL, 'r'},
                                          {"port", required_argument, NULL, 'p'},
                                          {"tls", no_argument, NULL, 't'},
                                          {"path", required_argument, NULL, 'a'},
                                          {"channel", required_argument, NULL, 'c'},
                                          {"own-channels", no_argument, NULL, 'o'},
                                          {"publish-path", required_argument, NULL, 'u'},
                                          {"key", required_argument, NULL, 'k'},
                                          {"pids", required_argument, NULL, 'i'},
                                          {"window", required_argument, NULL, 'w'},
                                          {"sockbuf", required_argument, NULL, 's'},
                                          {"tokens", required_argument, NULL, 'f'},
                                          {NULL, 0, NULL, 0}};
    known = (struct options){.channel = "bench:1", .key = "", .pids = "", .window = 256};
    for (int c; (c = getopt_long(argc, argv, "", names, NULL)) != -1;) {
        take(c, optarg);
    }
    if (!known.protocol || known.link.port == 0 || optind != argc) {
        fail("%s", usage);
    }
    known.path = known.path ? known.path : known.protocol->path;
    known.publish_path = known.publish_path ? known.publish_path : known.protocol->publish_path;
}
