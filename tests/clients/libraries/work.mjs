// A worker of a library: work.mjs LIBRARY
const { work } = await import(`./${process.argv[2]}.mjs`);
work();
