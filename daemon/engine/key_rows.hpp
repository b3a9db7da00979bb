// What is said of a key in one row, in listings and explanations. Pure functions of what they are given.
#pragma once

#include <cstdint>

#include <onced/protocol/messages.hpp>

#include "engine/entry.hpp"
#include "engine/function_queues.hpp"

namespace onced::engine {

// Callers that wait for a value of this key, those of computations that go on beside it included.
std::uint64_t waiting_on(const Entry& entry);
// All but its pins: they take a scan of the readers' pages.
protocol::ListRow row_of(const Entry& entry, const FunctionQueues& queues, Time now);

}  // namespace onced::engine
