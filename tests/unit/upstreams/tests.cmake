# The real server that the fetches go to.
belfry_unit_test(upstreams fetch)
add_dependencies(test_fetch belfry-upstream)
target_compile_definitions(test_fetch
                           PRIVATE BELFRY_UPSTREAM_PROGRAM="$<TARGET_FILE:belfry-upstream>")

belfry_unit_test(upstreams url_template)
