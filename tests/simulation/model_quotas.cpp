// Model: what the values of one function may have together, and for what a reservation may be refused.
#include <algorithm>

#include "model.hpp"

namespace onced::simulation {

std::uint64_t bytes_in(const Parts& parts) {
  std::uint64_t bytes = 0;
  for (const protocol::Part& part : parts) bytes += part.bytes.size() + part.length;
  return bytes;
}

std::uint64_t Model::bytes_max_of(const std::string& function) const {
  const auto& limits = schedule_.profile.settings.function_bytes_max;
  const auto found = limits.find(function);
  return found == limits.end() ? 0 : found->second;
}

std::uint64_t Model::bytes_kept(const std::string& function, const std::string& without) const {
  std::uint64_t bytes = 0;
  for (const auto& [name, key] : keys_)
    if (key.value && name != without && function_of_key(name) == function) bytes += contents_.at({name, key.value->version}).bytes;
  return bytes;
}

// Of what this step stores; nothing: nothing.
std::optional<std::pair<std::string, std::uint64_t>> Model::stored_in_step() const {
  if (step_.publishing) return std::pair(*step_.publishing, step_.content.bytes);
  if (step_.loaded && step_.loaded->value) return std::pair(step_.loaded->key, bytes_in(step_.loaded->value->parts));
  return std::nullopt;
}

bool Model::is_above_function_limit(const std::string& key, std::uint64_t bytes) const {
  const std::uint64_t most = bytes_max_of(function_of_key(key));
  return most != 0 && bytes > most;
}

// This value may go because its function would have more than it may with the one that is stored in this step, or is that one and more than that by itself.
bool Model::over_function_limit(const std::string& victim) const {
  const auto stored = stored_in_step();
  const std::string& function = function_of_key(victim);
  if (!stored || function_of_key(stored->first) != function) return false;
  if (stored->first == victim) return is_above_function_limit(victim, stored->second);
  return is_above_function_limit(victim, bytes_kept(function, stored->first) + stored->second);
}

// A lower limit of a reload holds for what is stored after it.
void Model::check_function_limits() {
  const auto stored = stored_in_step();
  for (const std::string& function : all_functions()) {
    const std::uint64_t kept = bytes_kept(function, {});
    const std::uint64_t before = std::exchange(bytes_kept_before_[function], kept);
    const std::uint64_t most = bytes_max_of(function);
    if (most == 0 || kept <= most) continue;
    const bool has_stored = stored && function_of_key(stored->first) == function && keys_.at(stored->first).value &&
                            keys_.at(stored->first).value->version == (step_.loaded ? step_.loaded->version : step_.version);
    require(!has_stored && kept <= before, "the values of a function have more than they may");
  }
}

// Whether it is held against what would go for it: not where something may be computed for it of which nobody knows yet what that costs.
bool Model::is_weighed(ConnectionId connection, const protocol::Reserve& request) const {
  const bool is_named = !request.key.empty();
  const auto is_unknown = [&](ConnectionId holder, const std::string& key) {
    return holder == connection && (!is_named || key == request.key) && !measured_functions_.contains(function_of_key(key));
  };
  if (request.ready) return true;
  for (const auto& [counter, lease] : leases_)
    if (is_unknown(lease.holder, lease.key)) return false;
  for (const auto& [counter, lease] : dead_leases_)  // until the holder is told
    if (is_unknown(lease.holder, lease.key)) return false;
  return true;
}

}  // namespace onced::simulation
