/* SPDX-License-Identifier: MIT */
/* The command that writes a configuration to start from: what a new operator needs, with words
 * beside it and secrets of its own. No state. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base64.h"
#include "base/rng.h"
#include "tools/command.h"
#include "tools/tools.h"

#define SECRET_BYTES     32
#define SECRET_TEXT_SIZE 64

/* What is behind two slashes can be taken into use as it is: commas are where they have to be. */
static const char before_token_key[] =
    "// The configuration of Belfry. Comments like this one may stay.\n"
    "// \"belfry checkconfig --config FILE\" says all that is wrong with it, \"belfry "
    "defaultconfig\"\n"
    "// prints every key; a text may have ${NAME} for the environment variable NAME.\n"
    "{\n"
    "  // Editors complete and check what they find the schema of:\n"
    "  // belfry configschema > belfry.schema.json\n"
    "  // \"$schema\": \"./belfry.schema.json\",\n"
    "\n"
    "  \"http_server\": {\n"
    "    // One port for clients, backends and figures. \"\" is every IPv4 address of the "
    "machine.\n"
    "    \"address\": \"127.0.0.1\",\n"
    "    // \"tls\": { \"enabled\": true, \"cert_pem_file\": \"cert.pem\", \"key_pem_file\": "
    "\"key.pem\" },\n"
    "    \"port\": 8000\n"
    "  },\n"
    "\n"
    "  \"client\": {\n"
    "    // The sites whose pages may connect. Without its site here no browser gets in.\n"
    "    \"allowed_origins\": [\n"
    "      // \"https://www.example.org\",\n"
    "      \"http://localhost:*\",\n"
    "      \"http://127.0.0.1:*\"\n"
    "    ],\n"
    "    // Your backend signs a token for each user with it (HS256); to try it:\n"
    "    // belfry gentoken --config FILE --user 42\n"
    "    \"token\": { \"hmac_secret_key\": \"";

static const char before_api_key[] =
    "\" }\n"
    "  },\n"
    "\n"
    "  // What your backend sends with POST /api/..., in the header X-API-Key.\n"
    "  \"http_api\": { \"key\": \"";

static const char behind_keys[] =
    "\" },\n"
    "\n"
    "  \"channel\": {\n"
    "    \"namespaces\": [\n"
    "      {\n"
    "        // The channels \"news:...\": the last 100 publications of a day are kept on disk, "
    "and\n"
    "        // who was away gets what he missed.\n"
    "        \"name\": \"news\",\n"
    "        \"history_size\": 100,\n"
    "        \"history_ttl\": \"24h\",\n"
    "        \"force_recovery\": true,\n"
    "        // \"allow_subscribe_for_anonymous\": true,\n"
    "        // \"presence\": true,\n"
    "        \"allow_subscribe_for_client\": true\n"
    "      }\n"
    "    ]\n"
    "  },\n"
    "\n"
    "  // A feed: several HTTP APIs asked at the same time, merged into one document and "
    "published\n"
    "  // when it has changed; here every minute, while somebody is in the channel.\n"
    "  // \"feeds\": [\n"
    "  //   {\n"
    "  //     \"name\": \"front\",\n"
    "  //     \"channel\": \"news:front\",\n"
    "  //     \"timeout\": \"2s\",\n"
    "  //     \"refresh\": { \"every\": \"1m\", \"while\": \"watched\" },\n"
    "  //     \"upstreams\": [\n"
    "  //       { \"name\": \"weather\", \"url\": \"https://api.example.org/weather\" },\n"
    "  //       { \"name\": \"traffic\", \"url\": \"https://api.example.org/traffic\", \"select\": "
    "\"/items\" }\n"
    "  //     ]\n"
    "  //   }\n"
    "  // ],\n"
    "\n"
    "  // The file is made when it is not there; \"full\" survives a power failure, too.\n"
    "  \"storage\": { \"path\": \"belfry.sqlite\", \"durability\": \"normal\" },\n"
    "\n"
    "  // GET /health, and GET /metrics for Prometheus.\n"
    "  \"health\": { \"enabled\": true },\n"
    "  \"prometheus\": { \"enabled\": true },\n"
    "  \"log\": { \"level\": \"info\" }\n"
    "}\n";

static void append_secret(struct buf *out)
{
    char bytes[SECRET_BYTES];
    rng_bytes(bytes, sizeof(bytes));
    base64url_encode((struct str){bytes, sizeof(bytes)}, out);
    explicit_bzero(bytes, sizeof(bytes));
}

static char *make_text(void)
{
    struct buf text;
    buf_init(&text, sizeof(before_token_key) + sizeof(before_api_key) + sizeof(behind_keys) +
                        2 * SECRET_TEXT_SIZE);
    buf_append(&text, str_of(before_token_key));
    append_secret(&text);
    buf_append(&text, str_of(before_api_key));
    append_secret(&text);
    buf_append(&text, str_of(behind_keys));
    return buf_take(&text);
}

static bool write_all(int file, const char *text)
{
    size_t left = strlen(text);
    while (left > 0) {
        ssize_t n = write(file, text, left);
        if (n < 0 && errno != EINTR) {
            return false;
        }
        text += n > 0 ? n : 0;
        left -= n > 0 ? (size_t)n : 0;
    }
    return fsync(file) == 0;
}

/* Half a configuration is worse than none. */
static int give_up(const char *path)
{
    fprintf(stderr, "%s: cannot be written (%s)\n", path, strerror(errno));
    (void)unlink(path);
    return 1;
}

static int write_file(const char *path, const char *text)
{
    int file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, S_IRUSR | S_IWUSR);
    if (file < 0) {
        bool is_there = errno == EEXIST;
        fprintf(stderr, "%s: %s\n", path,
                is_there ? "there is a file already; it is left as it is" : strerror(errno));
        return 1;
    }
    bool is_written = write_all(file, text);
    bool is_closed = close(file) == 0;
    if (!is_written || !is_closed) {
        return give_up(path);
    }
    printf("%s: made, with secrets of its own; only its owner may read it\n"
           "belfry serve --config %s\n"
           "belfry gentoken --config %s --user 42\n",
           path, path, path);
    return 0;
}

int tools_genconfig(int argc, char **argv)
{
    const char *path = "belfry.json";
    const struct command_option options[] = {
        {"config", 'c', "FILE", "what to write, belfry.json by default; there must be none", false,
         &path, NULL},
    };
    int code;
    if (!command_read(options, 1, argc, argv, &code)) {
        return code;
    }
    char *text = make_text();
    if (!text) {
        fputs("not enough memory\n", stderr);
        return 1;
    }
    code = write_file(path, text);
    explicit_bzero(text, strlen(text));
    free(text);
    return code;
}
