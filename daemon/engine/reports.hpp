// What people and tools ask of everything: status, statistics, listing, and the state that a subscription starts with. Of one key: explanations.hpp.
//
// Reads only. Every answer is bounded in rows and in bytes, so that it fits a frame.
#pragma once

#include <cstddef>
#include <string_view>

#include "engine/blobs.hpp"
#include "engine/catalog.hpp"
#include "engine/computations.hpp"
#include "engine/connections.hpp"
#include "engine/context.hpp"
#include "engine/directory.hpp"
#include "engine/function_table.hpp"
#include "engine/limit_table.hpp"
#include "engine/signal_hub.hpp"

namespace onced::engine {

class Reports {
 public:
  Reports(const Context& context, const Connections& connections, const Directory& directory, const FunctionTable& functions,
          const SignalHub& signals, const Catalog& catalog, const Computations& computations, const Blobs& blobs)
      : context_(context), connections_(connections), directory_(directory), functions_(functions), signals_(signals),
        catalog_(catalog), computations_(computations), blobs_(blobs) {}

  protocol::StatusReport status(Time now) const;
  protocol::Statistics statistics(Time now) const;
  protocol::Listing list(const protocol::List& request) const;
  // Fills in what a State marker says of a scope.
  void describe(const protocol::Scope& scope, protocol::State& state) const;

  static constexpr std::size_t reply_bytes_max = 96 * 1024;    // leaves room for the encoding within a frame
  static constexpr std::size_t rows_examined_max = 8192;       // of one List: a cursor asks for more
  static constexpr std::size_t functions_reported_max = 256;   // those that saved most

 private:
  struct Totals;
  Totals totals() const;
  void add_functions(protocol::Statistics& statistics, const Totals& readers, Time now) const;
  protocol::KeyStateEntry state_of(const Entry& entry) const;
  struct LimitUse {
    Limit limit;
    std::uint64_t most;  // what there is now; of the connection, key or user that has most
  };
  std::vector<LimitUse> limit_uses() const;

  const Context& context_;
  const Connections& connections_;
  const Directory& directory_;
  const FunctionTable& functions_;
  const SignalHub& signals_;
  const Catalog& catalog_;
  const Computations& computations_;
  const Blobs& blobs_;
};

}  // namespace onced::engine
