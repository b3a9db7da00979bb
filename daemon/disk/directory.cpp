#include "disk/directory.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>
#include <initializer_list>
#include <optional>
#include <vector>

#include "disk/format.hpp"

namespace onced::disk {
namespace {

constexpr const char* identity_name = "onced-disk";
constexpr const char* lock_name = "lock";

std::string octal(std::uint32_t mode) {
  char text[16];
  std::snprintf(text, sizeof(text), "%04o", mode);
  return text;
}

Error foreign(const std::string& why) {
  return Error{ErrorCode::malformed, why + ": not used, and nothing in it was touched; name another directory, or empty this one"};
}

// Of a directory without an identity: what is there and no first start that was cut off has left.
std::optional<std::string> foreign_name(const std::vector<std::string>& names) {
  const auto found = std::find_if(names.begin(), names.end(), [](const std::string& name) {
    return name != lock_name && name != std::string(identity_name) + ".new" && name != "lost+found" && name != aside_directory;
  });
  return found == names.end() ? std::nullopt : std::optional(*found);
}

bool has_identity(const std::vector<std::string>& names) { return std::find(names.begin(), names.end(), identity_name) != names.end(); }

Result<void> write_identity(FileSystem& files, const std::function<void(std::span<std::byte>)>& random) {
  Identity identity;
  random(std::as_writable_bytes(std::span(&identity.seed, 1)));
  random(std::as_writable_bytes(std::span(identity.name)));
  seal(identity);
  const std::array<Identity, 2> both{identity, identity};
  return write_whole(files, "", identity_name, std::as_bytes(std::span(both)));
}

struct Found {
  std::optional<Identity> identity;
  bool repair = false;
};

Result<Found> read_identity(FileSystem& files) {
  if (const auto access = check_access(files, identity_name, FileSystem::Kind::file); !access) return access.error();
  auto file = files.open(identity_name, false);
  if (!file) return file.error();
  const auto bytes = read_whole(**file, 4096);
  if (!bytes) return bytes.error();
  const auto first = identity_at(*bytes, 0);
  const auto second = identity_at(*bytes, sizeof(Identity));
  const bool repair = !first || !second || bytes->size() != 2 * sizeof(Identity);
  return Found{first ? first : second, repair};
}

// Nobody would end them there.
Result<void> remove_sessions(FileSystem& files) {
  const auto status = files.status(sessions_name);
  if (!status) return status.error().code == ErrorCode::not_found ? Result<void>() : status.error();
  auto file = files.open(sessions_name, true);
  if (!file) return file.error();
  const std::vector<std::byte> zeros(static_cast<std::size_t>(status->bytes));
  if (const auto written = (*file)->write(zeros, 0); !written) return written;
  if (const auto synced = (*file)->sync(); !synced) return synced;
  return files.remove(sessions_name);
}

Result<void> set_aside(FileSystem& files, std::uint32_t version, const Say& say) {
  if (const auto made = files.make_directory(aside_directory); !made) return made;
  const auto taken = files.list(aside_directory);
  if (!taken) return taken.error();
  std::string to;
  for (int i = 1; to.empty() || std::count(taken->begin(), taken->end(), to) != 0; ++i) {
    to = older_format_prefix + std::to_string(version) + "-" + std::to_string(i);
  }
  to = std::string(aside_directory) + "/" + to;
  if (const auto made = files.make_directory(to); !made) return made;
  if (const auto wiped = remove_sessions(files); !wiped) return wiped;
  if (const auto removed = files.remove(audience_name); !removed && removed.error().code != ErrorCode::not_found) return removed;
  // The identity last, when all else is stable: a crash between leaves an old store that is set aside again, never files without an identity.
  const auto move = [&](std::initializer_list<const char*> names) -> Result<void> {
    for (const char* name : names) {
      const auto moved = files.rename(name, to + "/" + name);
      if (!moved && moved.error().code != ErrorCode::not_found) return moved;
    }
    for (const std::string& changed : {to, std::string(aside_directory), std::string()}) {
      if (const auto synced = files.sync_directory(changed); !synced) return synced;
    }
    return {};
  };
  if (const auto moved = move({log_directory, parts_directory}); !moved) return moved;
  if (const auto moved = move({identity_name}); !moved) return moved;
  say("the store had format " + std::to_string(version) + ", this daemon writes " + std::to_string(format_version) + ": it was moved to " + to +
      ", and the store starts empty. What is there counts in the size, and goes when its room is needed");
  return {};
}

}  // namespace

Result<void> check_access(const FileSystem& files, const std::string& path, FileSystem::Kind kind) {
  const auto status = files.status(path);
  if (!status) return status.error();
  const std::string name = path.empty() ? "the store's directory" : path;
  const std::uint32_t mode = kind == FileSystem::Kind::directory ? 0700 : 0600;
  if (status->kind != kind) {
    return Error{ErrorCode::not_permitted, name + (kind == FileSystem::Kind::directory ? " is no directory" : " is no regular file")};
  }
  if (!status->own) return Error{ErrorCode::not_permitted, name + " belongs to another user: the store is the daemon's alone"};
  if (status->mode != mode) {
    return Error{ErrorCode::not_permitted, name + " has mode " + octal(status->mode) + ", it must be " + octal(mode)};
  }
  return {};
}

Result<std::vector<std::byte>> read_whole(const File& file, std::uint64_t most) {
  const auto size = file.size();
  if (!size) return size.error();
  if (*size > most) {
    return Error{ErrorCode::too_large, "a file has " + std::to_string(*size) + " bytes, at most " + std::to_string(most) + " were expected"};
  }
  std::vector<std::byte> bytes(static_cast<std::size_t>(*size));
  const auto n = file.read(bytes, 0);
  if (!n) return n.error();
  bytes.resize(*n);
  return bytes;
}

Result<void> write_whole(FileSystem& files, const std::string& directory, const std::string& name, std::span<const std::byte> bytes) {
  const std::string path = directory.empty() ? name : directory + "/" + name;
  auto file = files.create(path + ".new");
  if (!file) return file.error();
  if (const auto written = (*file)->write(bytes, 0); !written) return written;
  if (const auto synced = (*file)->sync(); !synced) return synced;
  if (const auto renamed = files.rename(path + ".new", path); !renamed) return renamed;
  return files.sync_directory(directory);
}

bool may_be_store(const FileSystem& files) {
  const auto names = files.list("");
  return names.ok() && (has_identity(*names) || !foreign_name(*names));
}

Result<OpenDirectory> open_directory(FileSystem& files, const std::function<void(std::span<std::byte>)>& random, const Say& say) {
  if (const auto access = check_access(files, "", FileSystem::Kind::directory); !access) return access.error();
  const auto names = files.list("");
  if (!names) return names.error();
  const bool known = has_identity(*names);
  if (!known) {
    if (const auto name = foreign_name(*names)) return foreign("the directory is not empty (" + *name + ") and is no store of onced's");
  } else {  // looked at before anything is written, the lock's file included
    const auto found = read_identity(files);
    if (!found) return found.error();
    if (!found->identity) return foreign("its file onced-disk is damaged or no store's");
    if (found->identity->version > format_version) {
      return Error{ErrorCode::version_mismatch, "the store has format " + std::to_string(found->identity->version) + ", this daemon knows " +
                                                    std::to_string(format_version) + ": it needs a newer daemon, or another directory"};
    }
  }
  OpenDirectory open;
  open.is_new = !known;
  auto lock = files.lock(lock_name);
  if (!lock) return lock.error();
  open.lock = std::move(*lock);
  if (const auto access = check_access(files, lock_name, FileSystem::Kind::file); !access) return access.error();

  if (!known) {
    if (const auto written = write_identity(files, random); !written) return written.error();
  }
  auto found = read_identity(files);  // again: under the lock now
  if (!found) return found.error();
  if (!found->identity) return foreign("its file onced-disk is damaged or no store's");
  if (found->identity->version < format_version) {
    if (const auto moved = set_aside(files, found->identity->version, say); !moved) return moved.error();
    if (const auto written = write_identity(files, random); !written) return written.error();
    open.is_new = true;
    found = read_identity(files);
    if (!found) return found.error();
  } else if (found->repair) {
    say("one of the two copies in onced-disk was damaged: written anew from the other");
    const std::array<Identity, 2> both{*found->identity, *found->identity};
    if (const auto written = write_whole(files, "", identity_name, std::as_bytes(std::span(both))); !written) return written.error();
  }
  open.seed = found->identity->seed;
  for (const char* name : {log_directory, parts_directory, aside_directory}) {
    if (const auto made = files.make_directory(name); !made) return made.error();
    if (const auto access = check_access(files, name, FileSystem::Kind::directory); !access) return access.error();
  }
  if (const auto synced = files.sync_directory(""); !synced) return synced.error();
  return open;
}

}  // namespace onced::disk
