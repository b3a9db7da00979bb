// Makes Values: the only door to their inside, besides Attachment.
#pragma once

#include <memory>
#include <utility>

#include <onced/value.hpp>

#include "part_table.hpp"

namespace onced {

struct ValueMaker {
  // Of parts that are its own. Its unnamed part is mapped now, if it is not yet: errors as for Value::part().
  static Result<Value> owned(std::unique_ptr<client_detail::PartTable> parts, std::uint64_t version, std::uint64_t cost_us,
                             bool computed_here = false, Milliseconds within = Milliseconds::max()) {
    Value value;
    if (const auto number = parts->find("")) {
      const auto unnamed = parts->part(*number, within);
      if (!unnamed) return unnamed.error();
      value.bytes_ = unnamed->bytes;
      value.content_type_ = unnamed->content_type;
    }
    value.parts_ = parts.release();
    value.version_ = version;
    value.cost_us_ = cost_us;
    value.computed_here_ = computed_here;
    return value;
  }
  static client_detail::Age age(const Value& value) { return value.age_; }
  static void set_stale(Value& value) { value.age_ = client_detail::Age::stale; }
};

}  // namespace onced
