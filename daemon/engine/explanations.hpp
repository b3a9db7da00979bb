// Why a key's next call is a hit or a miss, in sentences for people and as data for programs.
//
// Reads only. An explanation is bounded: a key has a bounded number of parts, tags and upstreams, and of the computations that go on beside
// it so many are named.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "engine/catalog.hpp"
#include "engine/computations.hpp"
#include "engine/context.hpp"
#include "engine/directory.hpp"

namespace onced::engine {

class Explanations {
 public:
  Explanations(const Context& context, const Directory& directory, const Catalog& catalog, const Computations& computations)
      : context_(context), directory_(directory), catalog_(catalog), computations_(computations) {}

  protocol::Explanation explain(std::string_view key) const;

  static constexpr std::size_t detached_explained_max = 16;  // a reader takes a few dozen lines

 private:
  bool is_on_disk(std::string_view key) const;
  void explain_absence(std::string_view key, protocol::Explanation& explanation) const;
  std::string freshness_text(const Entry& entry) const;
  void explain_staleness(const Entry& entry, protocol::Explanation& explanation) const;
  void explain_parts(const StoredValue& value, protocol::Explanation& explanation) const;
  std::string how_it_went(std::string_view key) const;

  const Context& context_;
  const Directory& directory_;
  const Catalog& catalog_;
  const Computations& computations_;
};

}  // namespace onced::engine
