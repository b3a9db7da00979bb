// The analysis as a shared value: one part for each chart.
#pragma once

#include <tuple>

#include <onced/typed.hpp>
#include <onced/value.hpp>
#include <onced/value_builder.hpp>

#include "text_analysis.hpp"

namespace onced::demo {

inline Result<void> add_parts(ValueBuilder& builder, const Analysis& analysis) {
  Result<void> added;
  const auto add = [&](const auto& part) {
    if (added) added = add_object(builder, part.part_name, part);
  };
  std::apply([&](const auto&... parts) { (add(parts), ...); }, analysis);
  return added;
}

// Reads this part and no other.
template <typename Part>
Result<Part> part_of(const Value& value) {
  return object_of<Part>(value, Part::part_name);
}

}  // namespace onced::demo
