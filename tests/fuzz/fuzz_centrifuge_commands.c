/* SPDX-License-Identifier: MIT */
/* Any messages of one client to a real hub. The first byte says whether the connection takes
 * messages and whether it goes while a command is under way; messages are separated by NUL.
 * Whatever comes, every message back is lines of JSON objects, nothing follows a disconnect, and
 * nothing is left behind. */
#include "tests/fuzz/fuzz.h"

#include "base/utf8.h"
#include "tests/unit/protocols/speaker.h"

enum { IS_BLOCKED = 1, GOES_EARLY = 2, IS_CONNECTED = 4, IS_HURRIED = 8 };

static struct world *the_world(void)
{
    static struct world *world;
    if (!world) {
        world = world_create(&(struct world_options){
            .client = "{\"insecure\":true,\"queue_max_size\":4096,\"channel_limit\":4,"
                      "\"insecure_skip_token_signature_verify\":true,"
                      "\"subscribe_to_user_personal_channel\":{\"enabled\":true},"
                      "\"token\":{\"hmac_secret_key\":\"secret\"}}",
            .channel = "{\"without_namespace\":{\"presence\":true,\"join_leave\":true,"
                       "\"allow_tags_filter\":true,\"allowed_delta_types\":[\"fossil\"],"
                       "\"delta_publish\":true},\"namespaces\":["
                       "{\"name\":\"kept\",\"history_size\":10,\"history_ttl\":\"1h\","
                       "\"force_recovery\":true,\"presence\":true,\"allow_tags_filter\":true,"
                       "\"allowed_delta_types\":[\"fossil\"],\"delta_publish\":true,"
                       "\"force_push_join_leave\":true,\"join_leave\":true},"
                       "{\"name\":\"name\",\"channel_regex\":\"^[a-z]+$\","
                       "\"allow_user_limited_channels\":true}]}"});
    }
    return world;
}

static void require_lines_of_objects(struct str text)
{
    while (text.len > 0) {
        ptrdiff_t end = str_find(text, '\n');
        REQUIRE(end > 0);
        struct str line = str_head(text, (size_t)end);
        REQUIRE(json_check(line, NULL) == STATUS_OK);
        REQUIRE(json_kind(line) == JSON_KIND_OBJECT);
        text = str_tail(text, (size_t)end + 1);
    }
}

static void say_all(struct speaker *s, struct str input, bool is_hurried)
{
    while (input.len > 0) {
        ptrdiff_t end = str_find(input, '\0');
        struct str message = end < 0 ? input : str_head(input, (size_t)end);
        input = end < 0 ? STR_EMPTY : str_tail(input, (size_t)end + 1);
        if (!utf8_valid(message)) {
            continue; /* the transport lets nothing else pass */
        }
        bool was_closed = s->peer.n_closes > 0;
        size_t n_messages = s->peer.n_messages;
        say_str(s, message);
        REQUIRE(!was_closed || s->peer.n_messages == n_messages);
        if (!is_hurried) {
            WAIT_FOR(s->peer.world, !s->session.is_busy);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct world *w = the_world();
    struct speaker s;
    struct hub_stats stats;
    uint8_t flags = size > 0 ? data[0] : 0;

    speaker_open(&s, w);
    if (flags & IS_CONNECTED) {
        say(&s, "{\"connect\":{},\"id\":1}");
        WAIT_FOR(w, !s.session.is_busy);
    }
    s.peer.is_blocked = flags & IS_BLOCKED;
    if (size > 1) {
        say_all(&s, (struct str){(const char *)data + 1, size - 1}, flags & IS_HURRIED);
    }
    if (!(flags & GOES_EARLY)) {
        WAIT_FOR(w, !s.session.is_busy);
        REQUIRE(centrifuge_waiting_bytes(&s.session) == 0);
        REQUIRE(peer_unblock(&s.peer));
    }
    REQUIRE(s.peer.n_closes <= 1);
    require_lines_of_objects(buf_str(&s.peer.received));
    speaker_release(&s);
    WAIT_FOR(w, hub_is_idle(w->hub));
    hub_stats(w->hub, &stats);
    REQUIRE(stats.n_subscriptions == 0 && stats.n_channels == 0 && stats.n_clients == 0);
    return 0;
}
