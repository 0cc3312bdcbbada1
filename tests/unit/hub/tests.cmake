# belfry_unit_test(hub module)
