# belfry_unit_test(storage module)
