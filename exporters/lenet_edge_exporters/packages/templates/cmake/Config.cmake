# What find_package(@NAME@) reads: it defines the target @NAME@::@NAME@.
include("${CMAKE_CURRENT_LIST_DIR}/@NAME@Targets.cmake")
