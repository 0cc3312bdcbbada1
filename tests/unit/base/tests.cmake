foreach(module base64 buf clock config deadlines histogram join json_span log loop pattern rng status str trim utf8)
    belfry_unit_test(base ${module})
endforeach()
