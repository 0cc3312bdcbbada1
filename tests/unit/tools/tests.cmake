foreach(module top_page top_sample top_units)
    belfry_unit_test(tools ${module})
endforeach()
