cmake_minimum_required(VERSION 3.25)
# Writes build_facts.hpp: what the result file says of the binary. Run at every build; the file changes only if a fact does.
# cmake -DSOURCE= -DOUTPUT= -DVERSION= -DBUILD_TYPE= -DCOMPILER= -DFLAGS= -DSANITIZERS= -DLIBRARIES= -P write_build_facts.cmake
set(revision "")
set(dirty false)
find_program(git git)
if(git)
  execute_process(COMMAND ${git} rev-parse HEAD WORKING_DIRECTORY ${SOURCE} OUTPUT_VARIABLE revision
                  OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE failed)
  if(failed)
    set(revision "")
  else()
    execute_process(COMMAND ${git} status --porcelain --untracked-files=no WORKING_DIRECTORY ${SOURCE}
                    OUTPUT_VARIABLE changes ERROR_QUIET)
    if(NOT changes STREQUAL "")
      set(dirty true)
    endif()
  endif()
endif()
file(CONFIGURE OUTPUT "${OUTPUT}" @ONLY CONTENT
"#pragma once

namespace feedbench::measure::build_facts {

inline constexpr const char* kVersion = R\"(@VERSION@)\";
inline constexpr const char* kGitRevision = \"@revision@\";
inline constexpr bool kGitDirty = @dirty@;
inline constexpr const char* kBuildType = R\"(@BUILD_TYPE@)\";
inline constexpr const char* kCompiler = R\"(@COMPILER@)\";
inline constexpr const char* kFlags = R\"(@FLAGS@)\";
inline constexpr const char* kSanitizers = R\"(@SANITIZERS@)\";
inline constexpr const char* kLibraries = R\"(@LIBRARIES@)\";

}  // namespace feedbench::measure::build_facts
")
