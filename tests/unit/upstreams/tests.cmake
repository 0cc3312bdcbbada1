# belfry_unit_test(upstreams module)
