# Sources that read nothing of LibTorch: the precompiled header would cost them more than they do.
function(vene_without_torch target)
  set_source_files_properties(${ARGN} TARGET_DIRECTORY ${target} PROPERTIES SKIP_PRECOMPILE_HEADERS ON)
endfunction()

# Warnings on our own code, never on a consumer's; as errors where vene is the project that is built, so that a newer
# compiler's new warning does not break somebody's build.
option(VENE_WERROR "Treat warnings as errors" ${PROJECT_IS_TOP_LEVEL})
add_library(vene_warnings INTERFACE)
target_compile_options(vene_warnings INTERFACE -fPIC -Wall -Wextra $<$<BOOL:${VENE_WERROR}>:-Werror> -Wno-missing-field-initializers -Wno-unknown-pragmas
  $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized -Wno-free-nonheap-object -Wno-dangling-pointer -Wno-array-bounds -Wno-restrict -Wno-stringop-overflow -Wno-stringop-overread>)
if(VENE_SANITIZE)
  set(_sanitize -fsanitize=${VENE_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=undefined)
  # LibTorch is built without the vptr check, and its inlined headers trip it.
  add_compile_options(${_sanitize} -fno-sanitize=vptr)
  add_link_options(${_sanitize})
endif()
