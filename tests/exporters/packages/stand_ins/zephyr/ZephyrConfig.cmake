# Stands in for Zephyr's build on a host: the options of prj.conf, the modules, and one program.
project(Zephyr LANGUAGES C)

add_executable(app)
target_include_directories(app PRIVATE ${CMAKE_CURRENT_LIST_DIR}/include)
target_compile_options(app PRIVATE -Wall -Wextra -Werror)

function(zephyr_include_directories)
  target_include_directories(app PRIVATE ${ARGN})
  set_property(GLOBAL APPEND PROPERTY INCLUDED ${ARGN})
endfunction()

macro(zephyr_library)
  get_property(included GLOBAL PROPERTY INCLUDED)
  get_filename_component(library ${CMAKE_CURRENT_SOURCE_DIR}/.. ABSOLUTE)
  string(MAKE_C_IDENTIFIER ${library} library)
  add_library(${library} STATIC)
  target_include_directories(${library} PRIVATE ${included})
  target_link_libraries(app PRIVATE ${library})
endmacro()

macro(zephyr_library_sources)
  target_sources(${library} PRIVATE ${ARGN})
endmacro()

macro(zephyr_library_compile_options)
  target_compile_options(${library} PRIVATE ${ARGN})
endmacro()

file(STRINGS ${CMAKE_SOURCE_DIR}/prj.conf options REGEX "^CONFIG_")
foreach(option ${options})
  string(REGEX MATCH "^([A-Z0-9_]+)=(.*)$" found ${option})
  set(${CMAKE_MATCH_1} ${CMAKE_MATCH_2})
endforeach()
foreach(module ${EXTRA_ZEPHYR_MODULES})
  file(STRINGS ${module}/zephyr/module.yml line REGEX "^  cmake: ")
  string(REPLACE "  cmake: " "" folder ${line})
  add_subdirectory(${module}/${folder} module)
endforeach()
