# belfry_unit_test(base module)
