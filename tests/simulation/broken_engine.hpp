// Which of the broken engines runs (broken/merge.cpp): the number that its patch's name begins with. 0: the engine as it is.
#pragma once

namespace onced::simulation {

inline int broken_engine = 0;

}  // namespace onced::simulation
