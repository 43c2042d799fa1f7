// The time as the clients are told it. They take hold of Date.now when they are loaded, so this is
// imported before them.

const real = Date.now;
let ahead = 0;

Date.now = () => real() + ahead;

export const putForward = (seconds) => {
  ahead += seconds * 1000;
};
