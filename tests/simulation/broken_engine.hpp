// Which of the broken engines runs (broken/merge.cpp): the number that its patch's name begins with. 0: the engine as it is.
#pragma once

#include <string_view>

namespace onced::simulation {

inline int broken_engine = 0;
// The numbers of those that this program has: ",1,2,"; nothing in the one that has none.
extern const std::string_view broken_engines;

}  // namespace onced::simulation
