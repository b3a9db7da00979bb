// For tests that need no more than one key.
#pragma once

#include <onced/protocol/key.hpp>

#include "fake_daemon.hpp"

namespace onced::testing {

inline const Key f_key = key_named("f");

}  // namespace onced::testing
