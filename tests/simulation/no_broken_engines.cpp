// Of the program that has the engine as it is.
#include "broken_engine.hpp"

const std::string_view onced::simulation::broken_engines;
