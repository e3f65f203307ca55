/*
** The part of the bridge to Rust that must be C.
**
** Law: Lua raises errors by longjmp, and no jump may cross a frame of Rust. So whatever raises, and whatever runs code
** that may raise, stands here; Rust is called by it and returns to it, and says with its return value what to raise.
*/
#include <stdio.h>
#include <stdlib.h>

#include "lua.h"
#include "lauxlib.h"
#include "lualib.h"

/* Rust: runs the native function with this number. Returns the count of its results, or -1 with the error on top. */
extern int pbj_lua_native (lua_State *L, int id);
/* Rust: called every so many instructions. Returns 0 to go on, or -1 with the error on top. */
extern int pbj_lua_interrupt (lua_State *L);

static int trampoline (lua_State *L) {
  int results = pbj_lua_native(L, (int)lua_tointeger(L, lua_upvalueindex(1)));
  if (results < 0)
    return lua_error(L);
  return results;
}

static void hook (lua_State *L, lua_Debug *ar) {
  (void)ar;
  if (pbj_lua_interrupt(L) < 0) {
    /* The message handler of xpcall runs now, before anything unwinds, and must not be out of reach. */
    lua_allowhook(L);
    lua_error(L);
  }
}

void pbj_lua_sethook (lua_State *L, int count) {
  lua_sethook(L, hook, LUA_MASKCOUNT, count);
}

void pbj_lua_pushnative (lua_State *L, int id) {
  lua_pushinteger(L, id);
  lua_pushcclosure(L, trampoline, 1);
}

/* `pcall' of scripts: an error that is a table with the text in `err' is caught as that text. */
static int script_pcall (lua_State *L) {
  int args = lua_gettop(L);
  lua_pushboolean(L, 1);
  lua_insert(L, 1);
  if (lua_pcall(L, args - 1, LUA_MULTRET, 0)) {
    lua_remove(L, 1);
    if (lua_istable(L, -1)) {
      lua_getfield(L, -1, "err");
      if (lua_isstring(L, -1))
        lua_replace(L, -2);
    }
    lua_pushboolean(L, 0);
    lua_insert(L, 1);
  }
  return lua_gettop(L);
}

/* The message handler: makes a table of an error, and notes where it was raised. */
static int error_handler (lua_State *L) {
  lua_Debug ar;
  int known;
  lua_settop(L, 1);
  known = lua_getstack(L, 1, &ar) && lua_getinfo(L, "Sl", &ar);
  if (known && *ar.what == 'C')
    known = lua_getstack(L, 2, &ar) && lua_getinfo(L, "Sl", &ar);
  if (!lua_istable(L, 1)) {
    lua_newtable(L);
    lua_pushliteral(L, "ERR ");
    lua_getglobal(L, "tostring");
    lua_pushvalue(L, 1);
    lua_call(L, 1, 1);
    lua_concat(L, 2);
    lua_setfield(L, -2, "err");
  }
  if (known) {
    lua_pushstring(L, ar.source);
    lua_setfield(L, -2, "source");
    lua_pushinteger(L, ar.currentline);
    lua_setfield(L, -2, "line");
  }
  return 1;
}

static int open_libraries (lua_State *L) {
  static const luaL_Reg libraries[] = {
    {"", luaopen_base}, {LUA_TABLIBNAME, luaopen_table}, {LUA_STRLIBNAME, luaopen_string},
    {LUA_MATHLIBNAME, luaopen_math}, {NULL, NULL}};
  const luaL_Reg *library;
  for (library = libraries; library->func; library++) {
    lua_pushcfunction(L, library->func);
    lua_pushstring(L, library->name);
    lua_call(L, 1, 0);
  }
  lua_pushcfunction(L, script_pcall);
  lua_setglobal(L, "pcall");
  return 0;
}

int pbj_lua_open (lua_State *L) {
  return lua_cpcall(L, open_libraries, NULL);
}

void pbj_lua_pusherrorhandler (lua_State *L) {
  lua_pushcfunction(L, error_handler);
}

/* Compiles text; leaves a function, or the error. */
int pbj_lua_load (lua_State *L, const char *text, size_t length, const char *name) {
  return luaL_loadbuffer(L, text, length, name);
}

/* A number as `%.*g' prints it; returns the length. */
int pbj_lua_format (char *buffer, size_t size, int precision, double value) {
  return snprintf(buffer, size, "%.*g", precision, value);
}

/* Pushes where code is (`user_script:1: '), or nothing to say; level 1 is the caller of the native function. */
void pbj_lua_pushwhere (lua_State *L, int level) {
  luaL_where(L, level);
}

/* Pushes the message of an argument that is wrong, with the name by which the function was called. */
void pbj_lua_pushargerror (lua_State *L, int arg, const char *extra) {
  lua_Debug ar;
  luaL_where(L, 1);
  if (!lua_getstack(L, 0, &ar)) {
    lua_pushfstring(L, "bad argument #%d (%s)", arg, extra);
  }
  else {
    lua_getinfo(L, "n", &ar);
    if (ar.namewhat[0] == 'm') {  /* a method: do not count `self' */
      arg--;
      if (arg == 0) {
        lua_pushfstring(L, "calling " LUA_QS " on bad self (%s)", ar.name, extra);
        lua_concat(L, 2);
        return;
      }
    }
    lua_pushfstring(L, "bad argument #%d to " LUA_QS " (%s)", arg, ar.name ? ar.name : "?", extra);
  }
  lua_concat(L, 2);
}

/* Pushes a native function with a value of its own, which is taken from the top. */
void pbj_lua_pushowner (lua_State *L, int id) {
  lua_pushinteger(L, id);
  lua_insert(L, -2);
  lua_pushcclosure(L, trampoline, 2);
}

/* Pushes the value that belongs to the native function that runs, or nil. */
void pbj_lua_pushown (lua_State *L) {
  lua_pushvalue(L, lua_upvalueindex(2));
}

/* Reads a number as `strtod' does from a text that ends with a zero; returns how many bytes belong to it. */
size_t pbj_lua_readnumber (const char *text, double *value) {
  char *end;
  *value = strtod(text, &end);
  return (size_t)(end - text);
}

/*
** What Rust asks for most, with its checks: one call each. A wrong index or a lack of room is answered with -1, and
** nothing has happened then.
*/

static int absolute (lua_State *L, int index) {
  int top = lua_gettop(L);
  if (index < 0) index = top + index + 1;
  return (index >= 1 && index <= top) ? index : 0;
}

static int has_room (lua_State *L, int count) {
  return lua_hasroom(L, count) || lua_checkstack(L, LUA_MINSTACK) || lua_checkstack(L, count);
}

/* The type of a value, or LUA_TNONE. */
int pbj_lua_kind (lua_State *L, int index) {
  index = absolute(L, index);
  return index ? lua_type(L, index) : LUA_TNONE;
}

/* The bytes of a string; 0 if it is none. */
int pbj_lua_string (lua_State *L, int index, const char **bytes, size_t *length) {
  index = absolute(L, index);
  if (!index || lua_type(L, index) != LUA_TSTRING) return 0;
  *bytes = lua_tolstring(L, index, length);
  return 1;
}

/* The value of a number, or of a string that reads as one; 0 if it is neither. */
int pbj_lua_number (lua_State *L, int index, double *value) {
  index = absolute(L, index);
  if (!index || !lua_isnumber(L, index)) return 0;
  *value = lua_tonumber(L, index);
  return 1;
}

int pbj_lua_pushbytes (lua_State *L, const char *bytes, size_t length) {
  if (!has_room(L, 1)) return -1;
  lua_pushlstring(L, bytes, length);
  return 0;
}

int pbj_lua_pushnumber (lua_State *L, double value) {
  if (!has_room(L, 1)) return -1;
  lua_pushnumber(L, value);
  return 0;
}

int pbj_lua_pushboolean (lua_State *L, int value) {
  if (!has_room(L, 1)) return -1;
  lua_pushboolean(L, value);
  return 0;
}

/* Pushes an element of a table; returns its type. */
int pbj_lua_getelement (lua_State *L, int index, int number) {
  index = absolute(L, index);
  if (!index || !lua_istable(L, index) || !has_room(L, 1)) return -1;
  lua_rawgeti(L, index, number);
  return lua_type(L, -1);
}

/* Pushes a field of a table; returns its type. */
int pbj_lua_getfield (lua_State *L, int index, const char *name, size_t length) {
  index = absolute(L, index);
  if (!index || !lua_istable(L, index) || !has_room(L, 1)) return -1;
  lua_pushlstring(L, name, length);
  lua_rawget(L, index);
  return lua_type(L, -1);
}

/* Sets an element to the value on top, and takes it; 0 if the table is read-only. */
int pbj_lua_setelement (lua_State *L, int index, int number) {
  index = absolute(L, index);
  if (!index || index == lua_gettop(L) || !lua_istable(L, index)) return -1;
  if (lua_isreadonly(L, index)) {
    lua_settop(L, -2);
    return 0;
  }
  lua_rawseti(L, index, number);
  return 1;
}

/* Sets the key below the top to the value on top, and takes both; 0 if that cannot be. */
int pbj_lua_setpair (lua_State *L, int index) {
  int kind;
  index = absolute(L, index);
  if (!index || index > lua_gettop(L) - 2 || !lua_istable(L, index)) return -1;
  kind = lua_type(L, -2);
  if (kind == LUA_TNIL || (kind == LUA_TNUMBER && lua_tonumber(L, -2) != lua_tonumber(L, -2)) || lua_isreadonly(L, index)) {
    lua_settop(L, -3);
    return 0;
  }
  lua_rawset(L, index);
  return 1;
}

/* Pushes key and value from a position on; returns the position behind them, 0 at the end. */
int pbj_lua_next (lua_State *L, int index, int position) {
  index = absolute(L, index);
  if (!index || !lua_istable(L, index) || !has_room(L, 2)) return -1;
  return lua_rawnextat(L, index, position > 0 ? position : 0);
}
