# belfry_unit_test(protocols module)
