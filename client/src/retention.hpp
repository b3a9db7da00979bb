// What a caller says of how long a value is kept, as the protocol has it.
//
// Errors: what the daemon would refuse (limits.hpp), and what cannot be meant (negative times): the text names option and
//         limit.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include <onced/options.hpp>
#include <onced/protocol/messages.hpp>
#include <onced/protocol/result.hpp>

namespace onced::client_detail {

// A time that the daemon's configuration decides when it is not said.
Result<std::uint64_t> configured_ms(std::string_view option, const std::optional<Milliseconds>& time);
// The keys of `depends_on` come with version 0: the caller finds out what it is.
Result<protocol::Retention> retention_of(const ComputeOptions& options);
Result<protocol::Retention> retention_of(const PutOptions& options);
// What a computation is refused for before anybody is asked.
Result<void> check(const ComputeOptions& options);
// Of options that were checked.
std::uint64_t failure_ttl_ms(const ComputeOptions& options);
// Why what was stored and was to be durable is not: as far as can be told from here.
Error not_durable(std::string_view key, const protocol::Retention& retention);

}  // namespace onced::client_detail
