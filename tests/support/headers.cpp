// Nothing but its precompiled header (CMakeLists.txt).
