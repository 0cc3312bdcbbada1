/* The namespaces in which the tests of subscribing and recovering live. */
#ifndef BELFRY_TESTS_HUB_SUBSCRIBE_WORLD_H
#define BELFRY_TESTS_HUB_SUBSCRIBE_WORLD_H

#include "tests/unit/hub/world.h"

#define CLIENT                                                                                     \
    "{\"allow_anonymous_connect_without_token\":true,\"channel_limit\":3,"                         \
    "\"recovery_max_publication_limit\":50,\"token\":{\"hmac_secret_key\":\"secret\"}}"
#define OPEN "\"allow_subscribe_for_client\":true,\"allow_subscribe_for_anonymous\":true"

static const char channels[] =
    "{\"tail_max_size\":100000,\"without_namespace\":{" OPEN "},\"namespaces\":["
    "{\"name\":\"closed\"},"
    "{\"name\":\"users\",\"allow_subscribe_for_client\":true},"
    "{\"name\":\"may\",\"history_size\":10,\"history_ttl\":\"1h\",\"allow_recovery\":true,"
    "\"allow_positioning\":true," OPEN "},"
    "{\"name\":\"not\",\"history_size\":10,\"history_ttl\":\"1h\"," OPEN "},"
    "{\"name\":\"pos\",\"history_size\":10,\"history_ttl\":\"1h\",\"force_positioning\":true," OPEN
    "},"
    "{\"name\":\"rec\",\"history_size\":100,\"history_ttl\":\"1h\",\"force_recovery\":true," OPEN
    "},"
    "{\"name\":\"few\",\"history_size\":5,\"history_ttl\":\"1h\",\"force_recovery\":true," OPEN "},"
    "{\"name\":\"last\",\"history_size\":5,\"history_ttl\":\"1h\",\"force_recovery\":true,"
    "\"force_recovery_mode\":\"cache\"," OPEN "},"
    "{\"name\":\"auto\",\"history_size\":1,\"history_ttl\":\"1h\",\"force_recovery\":true,"
    "\"force_recovery_mode\":\"cache\",\"auto_cache_recover\":true," OPEN "},"
    "{\"name\":\"flash\",\"history_size\":5,\"history_ttl\":\"1ms\",\"force_recovery\":true,"
    "\"force_recovery_mode\":\"cache\",\"auto_cache_recover\":true," OPEN "},"
    "{\"name\":\"brief\",\"history_size\":5,\"history_ttl\":\"1ms\",\"force_recovery\":true," OPEN
    "}]}";

static inline int setup(void **state)
{
    *state = world_create(&(struct world_options){.client = CLIENT, .channel = channels});
    return 0;
}

static inline int setup_with_file(void **state)
{
    *state = world_create(
        &(struct world_options){.client = CLIENT, .channel = channels, .has_file = true});
    return 0;
}

static inline int teardown(void **state)
{
    world_destroy(*state);
    return 0;
}

static inline struct storage_position publish_n(struct world *w, const char *channel, int n)
{
    struct publish_answer a = {0};
    for (int i = 0; i < n; i++) {
        a = publish(w, channel, "{}");
        REQUIRE(a.status == STATUS_OK);
    }
    return a.position;
}

static inline void check_recovery(struct world *w, const char *channel,
                                  const struct storage_position *position, bool recovered,
                                  const char *offsets)
{
    struct peer p;
    peer_connect(&p, w);
    struct subscribe_answer a = recover(&p, channel, position);
    assert_int_equal(a.status, STATUS_OK);
    assert_true(a.result.was_recovering);
    assert_int_equal(a.result.recovered, recovered);
    assert_string_equal(a.offsets, offsets);
    if (recovered) {
        assert_int_equal(a.result.position.offset, position->offset);
    }
    peer_release(&p);
}

#endif
